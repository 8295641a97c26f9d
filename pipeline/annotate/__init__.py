"""Pictures from elsewhere in Dress Code's layout: photos brought to 3 : 4, keypoints, label maps, DensePose parts."""
