/** Somebody else on this machine: tries to connect to a socket, as user and group 65534. Prints what came of it. */
import { connect } from 'node:net'

process.setgid?.(65_534)
process.setuid?.(65_534)
const socket = connect(process.argv[2] ?? '')
socket.on('connect', () => {
  process.stdout.write('connected')
  socket.destroy()
})
socket.on('error', (error) => {
  process.stdout.write('code' in error ? String(error.code) : 'error')
})
