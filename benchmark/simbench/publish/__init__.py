"""Write a board for readers: Markdown, HTML, CSV, Parquet and the terminal."""
