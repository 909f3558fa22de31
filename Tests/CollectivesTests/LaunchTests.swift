import Collectives
import Testing

@Suite struct LaunchTests {
  @Test func aProcessWithoutALauncherIsAlone() throws {
    #expect(try Launch.detect(environment: [:]) == .alone)
    // Inside a batch script, and under srun with a single task.
    #expect(try Launch.detect(environment: ["SLURM_JOB_ID": "7", "SLURM_NTASKS": "8"]) == .alone)
    #expect(try Launch.detect(environment: ["SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"]) == .alone)
    let communicator = try Communicator.start(environment: [:])
    #expect(communicator.size == 1 && communicator.rank == 0)
    #expect(communicator.places == [Communicator.Place(node: 0, localRank: 0, localSize: 1)])
    #expect(try communicator.allGather([1, 2]) == [[1, 2]])
    #expect(try communicator.gather([1, 2]) == [[1, 2]])
    #expect(try communicator.broadcast([3]) == [3])
    #expect(try communicator.sum([4, 5]) == [4, 5])
    try communicator.barrier()
    try communicator.requireEqual([("isa", "ref")])
    try communicator.finish()
  }

  @Test func launchersAreRecognised() throws {
    #expect(try Launch.detect(environment: ["OMPI_COMM_WORLD_SIZE": "4"]) == .together(processes: 4))
    #expect(
      try Launch.detect(environment: ["PMIX_RANK": "1", "PMIX_NAMESPACE": "a", "SLURM_STEP_NUM_TASKS": "3"])
        == .together(processes: 3))
    #expect(
      try Launch.detect(environment: ["PMIX_RANK": "1", "PMIX_NAMESPACE": "a"]) == .together(processes: nil))
    #expect(try Launch.detect(environment: ["PMI_RANK": "0", "PMI_SIZE": "2"]) == .together(processes: 2))
    // mpirun in a Slurm job: the step's tasks are OpenMPI's daemons.
    #expect(
      try Launch.detect(environment: ["OMPI_COMM_WORLD_SIZE": "8", "SLURM_STEP_NUM_TASKS": "2"])
        == .together(processes: 8))
  }

  @Test func tasksOfSrunWithoutPMIxAreRefused() {
    let error = #expect(throws: LaunchError.self) {
      try Communicator.start(environment: ["SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"])
    }
    #expect(error?.processes == 4)
    #expect(error?.description.contains("srun --mpi=pmix") == true)
  }

  @Test func disagreementsNameTheRanks() {
    let a = [("isa", "avx512"), ("kernel", "SkylakeX")]
    #expect(Disagreement(comparing: [a, a, a]) == nil)
    let message = Disagreement(
      comparing: [a, a, a, [("isa", "avx2"), ("kernel", "Haswell")], a, [("kernel", "SkylakeX")]])
    #expect(
      message?.description
        == "ranks 0–2, 4 have isa avx512, rank 3 has avx2, rank 5 has nothing; "
        + "ranks 0–2, 4–5 have kernel SkylakeX, rank 3 has Haswell")
  }

  @Test func failedCallsSayWhoAndWhy() {
    let error = CommunicationError(call: "MPI_Bcast", rank: 3, reason: "MPI_ERR_TRUNCATE: message truncated")
    #expect(error.description == "MPI_Bcast failed on rank 3: MPI_ERR_TRUNCATE: message truncated")
  }
}
