// Starts the emulator on a free port, prints its address, and ends with its standard input.
import { createServer } from 'node:net';
import TelegramServer from 'telegram-test-api';

const port = await new Promise((resolve) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
const server = new TelegramServer({ host: '127.0.0.1', port });
await server.start();
console.log(server.config.apiURL);
process.stdin.resume().on('end', () => process.exit(0));
