"""`make bench`: every measurement, one after the other."""

from bench.ingest import main

if __name__ == "__main__":
    main()
