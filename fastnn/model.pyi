# The engine mirrors the book in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.model import Sequential as Sequential
