"""What to hide: joints, DensePose and label map enter, masks leave.

``rules`` is the table of styles and categories and the place to change or add one; ``body``
completes joints, ``shapes`` draws what a garment may cover, ``protect`` what must stay, and
``render`` joins them. Arrays in, arrays out: nothing here opens a file.
"""
