"""``python -m align_eval``: the command line."""

from align_eval.cli import main

if __name__ == "__main__":
    main()
