"""Neural network blocks shared by the teacher and the cells; none of them depends on the role of a memory."""
