"""The HTTP door: one frame (`http.py`), one file per subject, and the description made from both (`openapi.py`)."""
