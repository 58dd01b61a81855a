"""`python -m nllcheck`."""

from nllcheck.cli import main

if __name__ == "__main__":
    main()
