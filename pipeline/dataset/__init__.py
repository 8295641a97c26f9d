"""A folder in Dress Code's layout, read.

A root folder enters; pair rows, and checked arrays of one person (photo, joints, label map,
DensePose), leave, scaled to the size that was asked for. Pose pictures are drawn here. A new
modality is a new reader; readers never guess and never repair.
"""
