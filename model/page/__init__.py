"""The demo page: a FastAPI application and its static files."""
