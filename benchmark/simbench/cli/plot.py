"""`simbench plot`: pictures for papers."""
def command() -> None:
    """x"""
