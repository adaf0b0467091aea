SELECT run FROM load_test_sample GROUP BY run ORDER BY max(at) DESC
