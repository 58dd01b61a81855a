"""exp(-loss) integrated or summed over the targets of each sample, for many parameters at once."""
