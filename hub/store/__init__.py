"""The database: one repository per noun, one unit of work, values in and out."""
