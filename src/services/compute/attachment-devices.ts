/** Device names as a virtio guest counts them: /dev/vda, …, /dev/vdz, /dev/vdaa. */
export function deviceAt(index: number): string {
  let letters = ''
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1) letters = String.fromCharCode(97 + (rest % 26)) + letters
  return `/dev/vd${letters}`
}

/** The first name nobody has. The root's is never free, even of a server whose root is its own disk. */
export function nextDevice(used: readonly string[]): string {
  for (let index = 1; ; index++) {
    const name = deviceAt(index)
    if (!used.includes(name)) return name
  }
}
