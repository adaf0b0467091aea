SELECT count(*) AS value FROM collector WHERE NOT online
