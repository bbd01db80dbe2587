"""What data may be: Great Expectations suites for every table, and their runner."""
