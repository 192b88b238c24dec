"""From the files of other projects to folders that ``transformers`` loads. One file a layout; numpy only."""
