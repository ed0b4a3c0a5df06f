"""Measures of a result without references: speech quality, leak, and whether a track stays one person's.

They tell what to doubt, not how far a track is from the truth.
"""
