"""What is written once and serves both packages: checks, configuration, the training loop, callbacks, schedules.

No layer's maths stands here, and nothing here is hot.
"""
