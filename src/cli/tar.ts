// Owns a name: archives are read by the recording room, and were by this one before.
export { gunzip, readTar } from "../recording/tar.ts";
