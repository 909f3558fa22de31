#pragma once
// OpenMPI's handles are cast macros, which Swift can't import: each is an accessor here.
#include <mpi.h>
static inline MPI_Comm cnn_mpi_comm_world(void) { return MPI_COMM_WORLD; }
