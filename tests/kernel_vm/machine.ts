// Owns the virtual machine: how qemu is called, what becomes of its output, and when it ends.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { ARCHITECTURES, type Run } from "./tools.ts";

export interface Machine {
  kernel: string;
  ramDisk: string;
  /** Images of disks, in the order of their names. */
  disks: string[];
  memoryMib: number;
  cpus: number;
  /** Whether one thread of the host emulates them in turn, instead of one each. */
  inTurn: boolean;
  /** The machine is stopped after that time. */
  seconds: number;
}

export interface Outcome {
  /** The command's, unless the machine came to no end by itself. */
  status: number | undefined;
  timedOut: boolean;
  /** What qemu and the machine's kernel said. */
  log: string;
}

const PLATFORM = {
  // Left alone, the kernel mistrusts an emulated time stamp counter, and every look at the clock becomes a system
  // call that reads a slow device.
  amd64: { machine: "q35", cpu: "max", kernel: ["console=ttyS0", "tsc=reliable"] },
  // The architecture's own algorithm for pointer authentication is slow to emulate.
  arm64: { machine: "virt", cpu: "max,pauth-impdef=on", kernel: ["console=ttyAMA0"] },
};

/** A path as a value among qemu's options. */
function value(path: string): string {
  return path.replaceAll(",", ",,");
}

function qemuArguments(run: Run, machine: Machine, consoleFile: string, statusFile: string): string[] {
  const platform = PLATFORM[run.architecture];
  const commandLine = [
    ...platform.kernel,
    "loglevel=5",
    "panic=-1",
    `stackmap_time=${Math.floor(Date.now() / 1000)}`,
  ];
  return [
    ...["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"],
    ...["-machine", platform.machine, "-cpu", platform.cpu],
    ...["-accel", `tcg,thread=${machine.inTurn ? "single" : "multi"}`],
    ...["-smp", `${machine.cpus}`, "-m", `${machine.memoryMib}`],
    ...["-kernel", machine.kernel, "-initrd", machine.ramDisk, "-append", commandLine.join(" ")],
    ...machine.disks.flatMap((path, index) => [
      ...["-drive", `if=none,id=disk${index},format=raw,snapshot=on,cache=unsafe,file=${value(path)}`],
      ...["-device", `virtio-blk-pci,drive=disk${index}`],
    ]),
    // The kernel's messages, the command's output and its status go different ways, so that they never mix.
    ...["-serial", `file:${value(consoleFile)}`],
    ...["-device", "virtio-serial-pci"],
    ...["-chardev", "stdio,id=output,signal=off", "-device", "virtserialport,chardev=output,name=output"],
    ...["-chardev", `file,id=status,path=${value(statusFile)}`],
    ...["-device", "virtserialport,chardev=status,name=status"],
  ];
}

function read(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** Boots the machine and passes the command's output on until it is off. */
export function runMachine(run: Run, machine: Machine): Promise<Outcome> {
  const [consoleFile, statusFile] = ["console", "status"].map((name) => join(run.scratch, name));
  return new Promise((resolve, reject) => {
    // Its standard input is never written to: the machine switches itself off when it is closed, even by our death.
    const child = spawn(
      ARCHITECTURES[run.architecture].qemu,
      qemuArguments(run, machine, consoleFile, statusFile),
      {
        // What is written to the disks goes to a file there.
        env: { ...process.env, TMPDIR: run.scratch },
        stdio: ["pipe", "pipe", "pipe"],
      },
    );
    let [timedOut, errors] = [false, ""];
    const stop = () => child.kill("SIGKILL");
    const timer = setTimeout(() => {
      timedOut = true;
      stop();
    }, machine.seconds * 1000);
    run.signal.addEventListener("abort", stop);
    if (run.signal.aborted) stop();
    child.stdout.pipe(process.stdout, { end: false });
    child.stderr.setEncoding("utf8").on("data", (text: string) => errors += text);
    child.on("error", reject);
    child.on("close", () => {
      clearTimeout(timer);
      run.signal.removeEventListener("abort", stop);
      const status = /^(\d+)\n/.exec(read(statusFile))?.[1];
      resolve({
        status: status === undefined ? undefined : Number(status),
        timedOut,
        log: `${errors}${read(consoleFile)}`.trim(),
      });
    });
  });
}
