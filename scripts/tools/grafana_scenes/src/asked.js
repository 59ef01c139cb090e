// What the page was asked for, by its address: ?dashboard=URL&prometheus=URL&from=&to=&scrape=15s&var-NAME=VALUE&rows=open
const asked = new URLSearchParams(location.search);

export const dashboardUrl = asked.get('dashboard');
export const prometheusUrl = asked.get('prometheus');
export const from = asked.get('from');
export const to = asked.get('to');
// The scrape interval that a person writes into the data source; $__rate_interval comes from it.
export const scrape = asked.get('scrape') ?? '15s';
// Collapsed rows stay as the dashboard has them, unless all are to be looked at.
export const openRows = asked.get('rows') === 'open';

export function chosen(variable) {
  const values = asked.getAll(`var-${variable}`);
  return values.length ? values : undefined;
}
