"""Blocks shared by the teacher and the cells. Nothing here knows what a memory is for."""
