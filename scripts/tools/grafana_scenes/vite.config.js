import react from '@vitejs/plugin-react';

// One page, read once by a headless browser on the same machine: size does not matter, readable errors do.
export default {
  base: './',
  plugins: [react()],
  build: { chunkSizeWarningLimit: 20000, sourcemap: false, modulePreload: false },
  define: { 'process.env.NODE_ENV': '"production"' },
};
