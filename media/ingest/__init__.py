"""Cameras that are fetched: by RTSP, in a process of their own."""
