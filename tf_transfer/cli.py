"""The command line: `python -m tf_transfer.cli`."""

from tf_transfer.commands.main import main

if __name__ == "__main__":
    main()
