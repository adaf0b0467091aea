CREATE DATABASE german;
ALTER DATABASE german SET datestyle = 'German, DMY';
ALTER DATABASE german SET timezone = 'Asia/Kathmandu';
ALTER DATABASE german SET intervalstyle = 'iso_8601';
ALTER DATABASE german SET extra_float_digits = -15;
ALTER DATABASE german SET client_encoding = 'LATIN1';
ALTER DATABASE german SET default_transaction_isolation = 'serializable';
