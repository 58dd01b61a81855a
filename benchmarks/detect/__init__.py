"""The detection benchmark: small losses with published origin, some defective, some only looking so.

python benchmarks/detect [--only PATTERN] [--tool NAME] [--json FILE]
"""
