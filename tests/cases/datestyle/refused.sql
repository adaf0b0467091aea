-- is set to be read-only
CREATE DATABASE frozen;
ALTER DATABASE frozen SET default_transaction_read_only = on;
-- has the encoding SQL_ASCII
CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
-- has the encoding LATIN1
CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
-- may not create schemas
CREATE DATABASE foreign_to_me;
