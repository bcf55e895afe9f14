# The engine mirrors the reference in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.pool import AvgPool2d as AvgPool2d
from fastnn_ref.pool import Flatten as Flatten
from fastnn_ref.pool import GlobalAvgPool2d as GlobalAvgPool2d
from fastnn_ref.pool import MaxPool2d as MaxPool2d
