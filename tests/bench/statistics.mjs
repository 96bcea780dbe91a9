export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

/** Median, least and the 10 % and 90 % quantiles. */
export const summary = values => ({
  median: quantile(values, 0.5),
  least: Math.min(...values),
  p10: quantile(values, 0.1),
  p90: quantile(values, 0.9),
});

/** Of two series that were sampled in turn: the median and spread of other/own, round by round. */
export const ratio = (other, own) => summary(other.map((value, i) => value / own[i]));
