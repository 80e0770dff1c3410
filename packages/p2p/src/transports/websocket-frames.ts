/** A socket of `ws` as the pipe wants it: binary frames only, errors heard from the first moment on. */
import type { WebSocket } from 'ws'

import type { Pipe } from '../connection/pipe.ts'

import { isCleanClose, WebSocketPipe } from './websocket-pipe.ts'
import type { FrameEvents, Frames, WebSocketPipeLimits } from './websocket-pipe.ts'

/** A pipe over a `ws` socket that is open, paused before it has read anything. */
export function pipeOver(socket: WebSocket, limits: WebSocketPipeLimits): Pipe {
  return new WebSocketPipe((events) => framesOf(socket, events), limits)
}

function framesOf(socket: WebSocket, events: FrameEvents): Frames {
  let failure: Error | undefined
  const sent = (): void => {
    events.sent()
  }
  // Stays on for good: an error that nobody hears ends the process.
  socket.on('error', (error) => {
    failure ??= error
    // A frame over a limit or against the protocol is answered by `ws` with a close frame that nobody may ever read.
    socket.terminate()
  })
  socket.on('message', (data, isBinary) => {
    if (!isBinary || !(data instanceof Uint8Array)) {
      failure ??= new Error('the other side sent text')
      socket.terminate()
      return
    }
    events.data(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  })
  socket.on('close', (code) => {
    if (failure === undefined && isCleanClose(code)) events.closed()
    else events.closed(failure ?? new Error(`the WebSocket was closed with code ${code}`))
  })
  return {
    send: (frame) => {
      socket.send(frame, { binary: true }, sent)
    },
    get bufferedBytes() {
      return socket.bufferedAmount
    },
    close: () => {
      socket.close(1000)
    },
    terminate: () => {
      socket.terminate()
    },
    pause: () => {
      socket.pause()
    },
    resume: () => {
      socket.resume()
    },
  }
}
