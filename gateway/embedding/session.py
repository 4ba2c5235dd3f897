"""The prepared model in onnxruntime: numbers of word pieces in, a vector of length one out. For threads; blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from gateway.embedding.embedder import Vector

DIMENSIONS: Final = 384


class Session:
    """One thread computes in each call of `vector`; several may call at once.

    Questions that wait together are not computed together: it saves a tenth at 64 pieces, and since numbers are scaled
    by the largest of a batch, a question's vector would depend on whose came along.
    """

    def __init__(self, model: bytes) -> None:
        import onnxruntime  # noqa: PLC0415 - heavy, and part of an extra

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Exact on processors without VNNI, and no slower with weights of seven bits.
        options.add_session_config_entry("session.x64quantprecision", "1")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        # It keeps the file's bytes to begin anew on other hardware, which is nothing to a session on processors.
        self._session.disable_fallback()
        self._session._model_bytes = None  # noqa: SLF001 - 22 MB, and nothing public lets go of them

    def vector(self, numbers: Sequence[int]) -> Vector:
        """The mean of the states of all pieces, made one long; it cannot be written to."""
        import numpy as np  # noqa: PLC0415 - as above

        mean = self.states(numbers).mean(axis=0)
        vector: Vector = (mean / np.linalg.norm(mean)).astype(np.float32)
        vector.flags.writeable = False
        return vector

    def states(self, numbers: Sequence[int]) -> NDArray[np.float32]:
        """The model's last state of each piece, the marks at both ends included: (pieces, 384)."""
        import numpy as np  # noqa: PLC0415 - as above

        pieces = np.array([numbers], dtype=np.int64)
        (states,) = self._session.run(
            ["last_hidden_state"],
            {"input_ids": pieces, "attention_mask": np.ones_like(pieces), "token_type_ids": np.zeros_like(pieces)},
        )
        return np.asarray(states[0], np.float32)
