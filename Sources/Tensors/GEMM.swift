import COpenBLAS

/// Matrix products by OpenBLAS, on the calling thread alone; the only importer of COpenBLAS.
///
/// OpenBLAS chooses its path by the shape of a call, so one row of a product may get other bits when
/// the number of rows changes: a call's shape must follow from the microbatch alone.
package enum GEMM {
  package enum Operand { case asIs, transposed }

  /// Keeps OpenBLAS from starting threads of its own. Call once, before the first product.
  package static func useOneThread() { openblas_set_num_threads(1) }

  /// The kernel that OpenBLAS chose for this CPU (`SkylakeX`, `Haswell`, …): part of the binding.
  package static var kernelName: String { String(cString: openblas_get_corename()) }

  /// OpenBLAS's version and build configuration: part of the binding.
  package static var configuration: String { String(cString: openblas_get_config()) }

  /// C = α · op(A) · op(B) + β · C, all row-major: op(A) is (m, k), op(B) is (k, n), C is (m, n);
  /// `lda`, `ldb` and `ldc` are the distances between rows as stored.
  @inline(__always)
  package static func multiply(
    _ opA: Operand = .asIs, _ opB: Operand = .asIs, m: Int, n: Int, k: Int, alpha: Float = 1,
    a: UnsafePointer<Float>, lda: Int, b: UnsafePointer<Float>, ldb: Int, beta: Float = 0,
    c: UnsafeMutablePointer<Float>, ldc: Int
  ) {
    cblas_sgemm(
      CblasRowMajor, opA == .asIs ? CblasNoTrans : CblasTrans, opB == .asIs ? CblasNoTrans : CblasTrans,
      blasint(m), blasint(n), blasint(k), alpha, a, blasint(lda), b, blasint(ldb), beta, c, blasint(ldc))
  }
}
