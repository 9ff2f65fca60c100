"""Reference values for src/analyse/agreement.rs: NMI, ARI, majority accuracy, one-to-one accuracy.

Needs scikit-learn (1.9.1 was used). Prints the lines of the test's table.
"""

from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

cases = {
    "mixed": ([0, 0, 0, 1, 1, 1, 2, 2, 2, 2], [1, 1, 0, 0, 0, 2, 2, 2, 2, 1]),
    "more clusters": ([0, 0, 0, 1, 1, 1, 2, 2], [0, 1, 1, 2, 2, 3, 4, 0]),
    "fewer clusters": ([0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 0, 1, 1, 1, 1, 0]),
    "shared majority": ([0, 0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1, 0]),
    "independent": ([0, 0, 1, 1], [0, 1, 0, 1]),
    "one cluster": ([0, 0, 1, 2], [0, 0, 0, 0]),
    "one class": ([0, 0, 0, 0], [0, 1, 1, 0]),
    "one of each": ([0, 0, 0], [0, 0, 0]),
    "every point alone": ([0, 1, 2], [2, 0, 1]),
    "perfect, renamed": ([0, 0, 1, 1, 2], [2, 2, 0, 0, 1]),
    "one point": ([0], [0]),
}
for name, (labels, clusters) in cases.items():
    table = contingency_matrix(labels, clusters)
    rows, columns = linear_sum_assignment(table, maximize=True)
    n = len(labels)
    print(f'("{name}", &{labels}, &{clusters}, [{normalized_mutual_info_score(labels, clusters):.10f}, '
          f"{adjusted_rand_score(labels, clusters):.10f}, {table.max(axis=0).sum() / n:.10f}, "
          f"{table[rows, columns].sum() / n:.10f}]),")
