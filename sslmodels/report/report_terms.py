"""The words of a report, explained where they stand and in a list at its end."""

from __future__ import annotations

from markupsafe import Markup

#: Word → what it means, in the order of the list on the page.
TERMS: dict[str, str] = {
    "genome": "A related genome whose sequences help in training; the labelled genome, in which "
    "the peaks were measured, is called the reference.",
    "peak": "An interval of the reference where an experiment (ChIP-seq, ATAC-seq …) found a "
    "signal.",
    "bin": "A short piece of a genome; the whole reference is cut into bins of equal length. A bin "
    "is positive if it lies in a peak, otherwise negative.",
    "row": "One sequence of a store with its label: a bin and the bases around it.",
    "homologue": "The corresponding sequence in a related genome, found through a whole-genome "
    "alignment (liftover). It takes the label of the peak that it comes from, without having "
    "been measured itself.",
    "liftover": "Finding where an interval of the reference lies in another genome, along chains "
    "of aligned blocks.",
    "aligned": "Share of the source interval that is aligned to bases of the other genome, mean "
    "over rows.",
    "identity": "Share of the aligned bases that are the same in both genomes, mean over rows.",
    "split": "Contigs are divided: training (what models learn from), validation (when to stop), "
    "test (held out, only scored). A homologue belongs to the part of its source peak.",
    "model": "A kind of neural network, or a model without one (baseline). The number in a name "
    "such as cnn-7k is that of its parameters: 7 thousand.",
    "regime": "A way of training the same network: on which sequences, in which order.",
    "control": "The same regime without homologues. What a regime has over its control is what "
    "homologues bring.",
    "baseline": "A simple model without a neural network, such as a motif scan: what a network "
    "should be better than.",
    "seed": "Number from which the random choices of a training follow. Trainings that differ in "
    "the seed alone show how much is chance.",
    "recall": "Share of the true positives that are found, at a threshold of the score.",
    "precision": "Share of the found ones that are true positives, at a threshold of the score.",
    "AUPR": "Area under the precision-recall curve, 0 to 1: how far the model ranks the positive "
    "test bins above all others. Guessing gives the prevalence, so a small number can be good: "
    "see lift.",
    "AUROC": "Area under the ROC curve: the probability that a positive bin scores higher than a "
    "negative one. Guessing gives 0.5. With few positives among many bins it looks better than "
    "it is; use AUPR.",
    "prevalence": "Share of positives among the test bins, which is the AUPR of guessing.",
    "lift": "AUPR over the prevalence: how many times better than guessing.",
    "interval": "95 % interval, in brackets: how far the number depends on the bins that happen to "
    "be tested (1,000 resamples of blocks of neighbouring bins). It says nothing about the "
    "chance of training or about other experiments.",
    "gain": "One AUPR over another: × 1.10 is a tenth more. If its interval contains 1, the test "
    "cannot tell the two apart.",
    "standard deviation": "After ±: how much the number varies between seeds. One seed has none.",
    "collapsed": "A run whose AUPR is below twice the prevalence: it has learnt next to nothing. "
    "Any number is large beside it, so nothing is compared with it.",
    "epoch": "One pass over the training rows.",
    "loss": "What training makes small: how far the predicted probabilities are from the labels.",
    "p": "Probability of such a difference, or a larger one, if neither of the two were better; "
    "Wilcoxon signed-rank test over experiments.",
    "motif": "A short pattern of bases, often the site of a transcription factor.",
    "digest": "A fingerprint of the content: equal digests, equal rows.",
}

#: Status of an interval in another genome → what it means, in the order in which it is shown.
STATUS_TEXTS: dict[str, str] = {
    "mapped": "found in exactly one place: gives a homologous row",
    "deleted": "nothing of it is aligned in that genome, or its contig is in no chain",
    "partial": "too little of it is aligned",
    "split": "its parts lie in two or more chains, each of which covers too little",
    "duplicated": "two or more chains cover enough of it: several places",
    "distant": "its parts lie in two or more places of one contig, too far apart to be one",
    "several contigs": "its parts lie on two or more contigs (chromosomes or scaffolds)",
    "invalid": "the interval is empty or ends before it starts",
    "not reciprocal": "lifted back, it does not return to where it came from",
    "summit lost": "the summit of the peak is not aligned",
}

#: Names of statuses on a page, where they differ from those in a store.
_STATUS_NAMES = {"multi_contig": "several contigs"}


def status_name(key: str) -> str:
    """Return the name of a liftover status as a page shows it."""
    return _STATUS_NAMES.get(key, key.replace("_", " "))


class UsedTerms:
    """Marks the words of one page, and knows which of them it has used."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def __call__(self, key: str, text: str | None = None) -> Markup:
        """Return a word with its explanation, linked to the list at the end of the page.

        Parameters
        ----------
        key
            A key of `TERMS`.
        text
            The word as it stands in the sentence; default: the key.
        """
        self._used.add(key)
        return Markup('<a class="term" href="#{}"><abbr title="{}">{}</abbr></a>').format(
            anchor_of(key), TERMS[key], text or key
        )

    def listed(self) -> list[tuple[str, str, str]]:
        """Return anchor, word and explanation of the words used so far."""
        return [(anchor_of(key), key, TERMS[key]) for key in TERMS if key in self._used]


def anchor_of(key: str) -> str:
    """Return the id of a word in the list of terms."""
    return f"term-{key.replace(' ', '-')}"
