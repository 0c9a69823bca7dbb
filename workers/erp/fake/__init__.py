"""An ERP to try with, in memory: tokens, quotas, versions, sweeps and background answers as the real one has them."""

from workers.erp.fake.fake_erp import FakeErp, Options, Seen
from workers.erp.fake.serving import serving

__all__ = ["FakeErp", "Options", "Seen", "serving"]
