"""Talking faces made from a still picture and a recording: outline, motion, puppet, files."""
