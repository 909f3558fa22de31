#pragma once
// MPI for Swift. Handles and some constants are cast macros, which Swift can't import, and their
// types differ between MPI libraries (pointers here, integers there): each is an accessor or sits in
// a struct here, so that Swift sees the same names whatever the library. MPI-3.1 only.
#include <mpi.h>
#include <stdlib.h>

typedef struct { MPI_Comm handle; } cnn_mpi_comm;
typedef struct { MPI_Datatype handle; } cnn_mpi_type;
typedef struct { MPI_Request handle; } cnn_mpi_request;
typedef struct { MPI_Op handle; } cnn_mpi_op;

static inline cnn_mpi_comm cnn_mpi_world(void) { return (cnn_mpi_comm){MPI_COMM_WORLD}; }
static inline cnn_mpi_type cnn_mpi_byte(void) { return (cnn_mpi_type){MPI_BYTE}; }
static inline cnn_mpi_type cnn_mpi_float(void) { return (cnn_mpi_type){MPI_FLOAT}; }
static inline cnn_mpi_type cnn_mpi_double(void) { return (cnn_mpi_type){MPI_DOUBLE}; }
static inline cnn_mpi_type cnn_mpi_int64(void) { return (cnn_mpi_type){MPI_INT64_T}; }
static inline cnn_mpi_op cnn_mpi_sum(void) { return (cnn_mpi_op){MPI_SUM}; }
static inline cnn_mpi_op cnn_mpi_max(void) { return (cnn_mpi_op){MPI_MAX}; }
static inline cnn_mpi_op cnn_mpi_min(void) { return (cnn_mpi_op){MPI_MIN}; }

// Starts MPI for a process whose main thread alone calls it. Overwrites granted: whether MPI allows that.
static inline int cnn_mpi_start(int *granted) {
  int level = MPI_THREAD_SINGLE;
  const int code = MPI_Init_thread(0, 0, MPI_THREAD_FUNNELED, &level);
  *granted = level >= MPI_THREAD_FUNNELED;
  return code;
}
static inline int cnn_mpi_finish(void) { return MPI_Finalize(); }

// The name of the library that runs; may be called before MPI starts. Overwrites text, of at least
// MPI_MAX_LIBRARY_VERSION_STRING characters.
static inline void cnn_mpi_library(char *text) {
  int length = 0;
  text[0] = 0;
  MPI_Get_library_version(text, &length);
}
enum { cnn_mpi_library_capacity = MPI_MAX_LIBRARY_VERSION_STRING };
// Whose headers this was compiled with: numbers of the library's version; all 0 for one without such macros.
static inline void cnn_mpi_headers(int *major, int *minor, int *release) {
#ifdef OMPI_MAJOR_VERSION
  *major = OMPI_MAJOR_VERSION, *minor = OMPI_MINOR_VERSION, *release = OMPI_RELEASE_VERSION;
#else
  *major = *minor = *release = 0;
#endif
}
// What threads may call MPI: 0 single, 1 funneled, 2 serialized, 3 multiple; -1 where MPI doesn't tell.
static inline int cnn_mpi_thread_level(void) {
  int level = -1;
  if (MPI_Query_thread(&level) != MPI_SUCCESS) return -1;
  return level == MPI_THREAD_SINGLE ? 0 : level == MPI_THREAD_FUNNELED ? 1 : level == MPI_THREAD_SERIALIZED ? 2 : 3;
}

// What an error code means. Overwrites text, of at least MPI_MAX_ERROR_STRING characters.
static inline void cnn_mpi_error_text(int code, char *text) {
  int length = 0;
  text[0] = 0;
  MPI_Error_string(code, text, &length);
}

// Errors come back as codes instead of ending the process inside the call.
static inline int cnn_mpi_return_errors(cnn_mpi_comm comm) {
  return MPI_Comm_set_errhandler(comm.handle, MPI_ERRORS_RETURN);
}

// The processes that share memory with the caller. Overwrites node.
static inline int cnn_mpi_split_by_node(cnn_mpi_comm comm, int key, cnn_mpi_comm *node) {
  return MPI_Comm_split_type(comm.handle, MPI_COMM_TYPE_SHARED, key, MPI_INFO_NULL, &node->handle);
}
static inline int cnn_mpi_comm_free(cnn_mpi_comm *comm) { return MPI_Comm_free(&comm->handle); }
static inline int cnn_mpi_comm_rank(cnn_mpi_comm comm, int *rank) { return MPI_Comm_rank(comm.handle, rank); }
static inline int cnn_mpi_comm_size(cnn_mpi_comm comm, int *size) { return MPI_Comm_size(comm.handle, size); }
static inline int cnn_mpi_abort(cnn_mpi_comm comm, int status) { return MPI_Abort(comm.handle, status); }
static inline int cnn_mpi_barrier(cnn_mpi_comm comm) { return MPI_Barrier(comm.handle); }

// A block of `count` floats as one element, so that counts of floats can't leave an int. Overwrites type.
static inline int cnn_mpi_float_block(int count, cnn_mpi_type *type) {
  const int code = MPI_Type_contiguous(count, MPI_FLOAT, &type->handle);
  return code == MPI_SUCCESS ? MPI_Type_commit(&type->handle) : code;
}
static inline int cnn_mpi_type_free(cnn_mpi_type *type) { return MPI_Type_free(&type->handle); }

static inline int cnn_mpi_broadcast(void *data, int count, cnn_mpi_type type, int root, cnn_mpi_comm comm) {
  return MPI_Bcast(data, count, type.handle, root, comm.handle);
}
static inline int cnn_mpi_send(const void *data, int count, cnn_mpi_type type, int rank, int tag, cnn_mpi_comm comm) {
  return MPI_Send(data, count, type.handle, rank, tag, comm.handle);
}
static inline int cnn_mpi_receive(void *data, int count, cnn_mpi_type type, int rank, int tag, cnn_mpi_comm comm) {
  return MPI_Recv(data, count, type.handle, rank, tag, comm.handle, MPI_STATUS_IGNORE);
}
static inline int cnn_mpi_start_send(const void *data, int count, cnn_mpi_type type, int rank, int tag,
                                     cnn_mpi_comm comm, cnn_mpi_request *request) {
  return MPI_Isend(data, count, type.handle, rank, tag, comm.handle, &request->handle);
}
static inline int cnn_mpi_start_receive(void *data, int count, cnn_mpi_type type, int rank, int tag,
                                        cnn_mpi_comm comm, cnn_mpi_request *request) {
  return MPI_Irecv(data, count, type.handle, rank, tag, comm.handle, &request->handle);
}
// Floats that lie in many places, as one message: type is for counts[i] of them at starts[i].
static inline int cnn_mpi_pieces(int count, const int *counts, const void *const *starts, cnn_mpi_type *type) {
  MPI_Aint *places = malloc((size_t)count * sizeof *places);
  if (places == NULL) return MPI_ERR_NO_MEM;
  int status = MPI_SUCCESS;
  for (int i = 0; i < count && status == MPI_SUCCESS; i++) status = MPI_Get_address(starts[i], &places[i]);
  if (status == MPI_SUCCESS) status = MPI_Type_create_hindexed(count, counts, places, MPI_FLOAT, &type->handle);
  free(places);
  return status == MPI_SUCCESS ? MPI_Type_commit(&type->handle) : status;
}
// After the end of MPI there is nothing to free.
static inline void cnn_mpi_pieces_free(cnn_mpi_type *type) {
  int ended = 0;
  if (MPI_Finalized(&ended) == MPI_SUCCESS && !ended) MPI_Type_free(&type->handle);
}
static inline int cnn_mpi_start_send_pieces(cnn_mpi_type type, int rank, int tag, cnn_mpi_comm comm,
                                            cnn_mpi_request *request) {
  return MPI_Isend(MPI_BOTTOM, 1, type.handle, rank, tag, comm.handle, &request->handle);
}
static inline int cnn_mpi_start_receive_pieces(cnn_mpi_type type, int rank, int tag, cnn_mpi_comm comm,
                                               cnn_mpi_request *request) {
  return MPI_Irecv(MPI_BOTTOM, 1, type.handle, rank, tag, comm.handle, &request->handle);
}
static inline int cnn_mpi_wait_all(int count, cnn_mpi_request *requests) {
  return MPI_Waitall(count, (MPI_Request *)requests, MPI_STATUSES_IGNORE);
}

// Whether all of them are done, which moves them on. Overwrites done.
static inline int cnn_mpi_test_all(int count, cnn_mpi_request *requests, int *done) {
  return MPI_Testall(count, (MPI_Request *)requests, done, MPI_STATUSES_IGNORE);
}

// data = op over all ranks of data. Overwrites data.
static inline int cnn_mpi_all_reduce(void *data, int count, cnn_mpi_type type, cnn_mpi_op op, cnn_mpi_comm comm) {
  return MPI_Allreduce(MPI_IN_PLACE, data, count, type.handle, op.handle, comm.handle);
}
// The same ranks with messages of their own, which never meet those of comm. Overwrites copy.
static inline int cnn_mpi_duplicate(cnn_mpi_comm comm, cnn_mpi_comm *copy) {
  return MPI_Comm_dup(comm.handle, &copy->handle);
}
// Starts to give every rank's counts[r] elements to all: rank r's to displacements[r] of all. Both arrays,
// mine and all stay as they are until the request is done. Overwrites all.
static inline int cnn_mpi_start_all_gather(const void *mine, int count, void *all, const int *counts,
                                           const int *displacements, cnn_mpi_type type, cnn_mpi_comm comm,
                                           cnn_mpi_request *request) {
  return MPI_Iallgatherv(mine, count, type.handle, all, counts, displacements, type.handle, comm.handle,
                         &request->handle);
}
// Every rank gives `count` elements, `all` gets those of each rank in turn. Overwrites all.
static inline int cnn_mpi_all_gather(const void *mine, void *all, int count, cnn_mpi_type type, cnn_mpi_comm comm) {
  return MPI_Allgather(mine, count, type.handle, all, count, type.handle, comm.handle);
}
// Rank r's part lies at displacements[r] of every rank's data and is counts[r] long; each rank has
// its own part in place. Overwrites the other parts.
static inline int cnn_mpi_all_gather_in_place(void *data, const int *counts, const int *displacements,
                                              cnn_mpi_type type, cnn_mpi_comm comm) {
  return MPI_Allgatherv(MPI_IN_PLACE, 0, type.handle, data, counts, displacements, type.handle, comm.handle);
}
