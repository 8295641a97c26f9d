"""What to hide: joints, DensePose and label map enter, masks leave.

``rules`` is the table of styles and categories and the place to change or add one; ``body``
completes joints, ``evidence`` mends wrong labels, ``shapes`` draws what a garment may cover,
``protect`` what must stay, ``layers`` keeps what styles share, and ``render`` joins them. ``peers``
are other projects' recipes. Arrays in, arrays out: nothing here opens a file.
"""
