"""The training loss: L1, LPIPS, VGG19 style and content over the levels.

Levels and the person's picture enter; a total and its terms leave. ``weights_cache`` finds the
perceptual networks' files.
"""
