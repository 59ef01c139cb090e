// What a panel shows instead of data.
import React from 'react';

export function NothingToShow({ fieldConfig, message }) {
  return (
    <div style={{ display: 'flex', height: '100%', alignItems: 'center', justifyContent: 'center', textAlign: 'center', opacity: 0.7 }}>
      {message ?? fieldConfig?.defaults.noValue ?? 'No data'}
    </div>
  );
}
