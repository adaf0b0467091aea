SELECT min(at) AS begins, max(at) AS ends FROM load_test_sample WHERE run = ${run:sqlstring}
