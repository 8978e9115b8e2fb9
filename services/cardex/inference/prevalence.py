"""A hospital's own shares of the statements, to which probabilities are corrected."""

import csv
import hashlib
import json
import logging
import math
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from cardex.domain.errors import ConfigurationError
from cardex.inference.encoder import ModelInfo
from cardex.inference.repository import model_versions
from cardex.inference.statements import (
    CalibratedStatement,
    Calibration,
    load_calibration,
    served_calibration,
)

logger = logging.getLogger(__name__)

Shares = Mapping[str, float]
"""Statement code to the share of the hospital's ECGs that have it, over 0 and under 1."""


def own_shares(path: Path | None, repository: Path) -> Shares:
    """Read the file of `CARDEX_PREVALENCE`; no shares where none is set.

    Args:
        path: CSV file with the columns code and share.
        repository: model repository; a code has to be one of a version's statements there.

    Raises:
        ConfigurationError: if the file cannot be read, or a line of it not be used; names both.
    """
    if path is None:
        return {}
    found = [load_calibration(release.statements) for release in model_versions(repository)]
    known = {each.code for calibration in found if calibration for each in calibration.statements}
    return read_shares(path, known)


def read_shares(path: Path, known: Collection[str]) -> Shares:
    """Read a CSV file with the columns code and share.

    Args:
        path: the file.
        known: the codes that it may have.

    Raises:
        ConfigurationError: if the file cannot be read, or a line of it not be used; names both.
    """
    shares: dict[str, float] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if not {"code", "share"} <= set(rows.fieldnames or ()):
                raise _wrong(f"{path}, line 1", "write the header row code,share there")
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                code = (row["code"] or "").strip()
                if code in shares:
                    raise _wrong(where, f"{code} is there twice: leave one line of them")
                if code not in known:
                    raise _wrong(
                        where,
                        f"no model in the repository has the statement {code!r}: remove the line,"
                        f" or write one of {', '.join(sorted(known)) or '(no code is known)'}",
                    )
                shares[code] = _share(row["share"] or "", where)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _wrong(str(path), str(error)) from error
    return shares


def _share(text: str, where: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0.0 < share < 1.0:
        raise _wrong(where, f"{text!r} is no share: write a number over 0 and under 1, as 0.07")
    return share


def _wrong(where: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"CARDEX_PREVALENCE: {where}: {remedy}")


def corrected(calibration: Calibration, shares: Shares) -> Calibration:
    """Return a calibration whose statements assume other shares than the training ECGs'.

    The log-odds of each statement are shifted by logit(own share) - logit(training share)
    (Saerens et al. 2002, for priors that are known). One whose training share is not known stays as
    it is, which the log says. Its fingerprint says which shares it assumes.
    """
    without = sorted(
        each.code for each in calibration.statements if each.code in shares and each.share is None
    )
    if without:
        logger.warning(
            "CARDEX_PREVALENCE: model %s came without the training shares of %s, whose"
            " probabilities stay as they are",
            calibration.model_version,
            ", ".join(without),
        )
    statements = tuple(_shifted(each, shares) for each in calibration.statements)
    if statements == calibration.statements:
        return calibration
    assumed = json.dumps([calibration.fingerprint, sorted(shares.items())]).encode()
    return msgspec.structs.replace(
        calibration, statements=statements, fingerprint=hashlib.sha256(assumed).hexdigest()
    )


def _shifted(statement: CalibratedStatement, shares: Shares) -> CalibratedStatement:
    own, training = shares.get(statement.code), statement.share
    if own is None or training is None:
        return statement
    intercept = statement.intercept + _logit(own) - _logit(training)
    return msgspec.structs.replace(statement, intercept=intercept, share=own)


def _logit(share: float) -> float:
    return math.log(share) - math.log1p(-share)


def corrected_calibration(repository: Path, shares: Shares, model: ModelInfo) -> Calibration | None:
    """Return a served model's calibration, corrected; raises as `served_calibration`."""
    calibration = served_calibration(repository, model)
    return corrected(calibration, shares) if calibration else None
