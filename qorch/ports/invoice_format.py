"""The contract of a provider's invoices: which files are its own, and how their lines are read."""

from collections.abc import Collection, Iterator
from typing import Protocol

from qorch.model.invoices.files import InvoiceDocument, InvoiceTable
from qorch.model.invoices.line import InvoiceLine


class InvoiceFormat(Protocol):
    """How one provider writes down what it charges.

    It is the value ``INVOICES`` of the module ``invoices`` in the package of a backend's entry point, and needs nothing
    that has to be installed apart.
    """

    @property
    def name(self) -> str:
        """How the user calls it, such as ``aws``."""
        ...

    @property
    def title(self) -> str:
        """What such a file is, for messages."""
        ...

    def fits(self, names: Collection[str]) -> bool:
        """Whether a table with these columns (plain names), or a document with these fields, is such a file."""
        ...

    def read_table(self, table: InvoiceTable) -> Iterator[InvoiceLine]:
        """The lines of a table, read while they are used. Raises InvoiceError for what is not as it must be."""
        ...

    def read_document(self, document: InvoiceDocument) -> Iterator[InvoiceLine]:
        """The lines of a JSON document. Raises InvoiceError for what is not as it must be."""
        ...
