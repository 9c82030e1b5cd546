"""``python -m longctx``: the command, where no script is on the path."""

from longctx.cli import main

if __name__ == "__main__":
    main()
