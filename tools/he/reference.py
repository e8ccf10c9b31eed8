"""Runs circuits on encrypted vectors in SEAL and prints what decrypts.

Reads one JSON object from standard input:
{"log_degree": 13, "data_bits": [50, 40, 40], "special_bits": 50, "log_scale": 40,
 "inputs": [[...], ...], "circuit": [["mul", 0, 1], ["rescale", 2], ["rotate", 3, 5], ...]}
Each step makes a value with the next number after the inputs and earlier steps. Steps are
["add", x, y], ["sub", x, y], ["mul", x, y], ["mul_plain", x, input], ["rescale", x],
["rotate", x, steps], ["conjugate", x]. Prints {"values": [[...], ...], "seconds": {step: time}} with the
real parts of the slots of all values, and the least time of each kind of step.

With `--time N`, each step runs N times. Needs the package `tenseal`.
"""

import argparse
import json
import sys
import time

import tenseal.sealapi as seal


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time", type=int, default=1)
    repeat = parser.parse_args().time
    job = json.load(sys.stdin)
    degree = 1 << job["log_degree"]
    parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    parameters.set_poly_modulus_degree(degree)
    bits = job["data_bits"] + [job["special_bits"]]
    parameters.set_coeff_modulus(seal.CoeffModulus.Create(degree, bits))
    context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.NONE)
    keygen = seal.KeyGenerator(context)
    relin, galois, public = seal.RelinKeys(), seal.GaloisKeys(), seal.PublicKey()
    keygen.create_relin_keys(relin)
    steps = sorted({step[2] for step in job["circuit"] if step[0] == "rotate"})
    # The generator of rotations in SEAL.
    elements = [pow(3, k % (degree // 2), 2 * degree) for k in steps] + [2 * degree - 1]
    keygen.create_galois_keys(elements, galois)
    keygen.create_public_key(public)
    encoder, evaluator = seal.CKKSEncoder(context), seal.Evaluator(context)
    encryptor = seal.Encryptor(context, public)
    decryptor = seal.Decryptor(context, keygen.secret_key())
    scale = 2.0 ** job["log_scale"]

    def encode(numbers, parms_id=None):
        plain = seal.Plaintext()
        if parms_id is None:
            encoder.encode(numbers, scale, plain)
        else:
            encoder.encode(numbers, parms_id, scale, plain)
        return plain

    values = []
    for numbers in job["inputs"]:
        value = seal.Ciphertext()
        encryptor.encrypt(encode(numbers), value)
        values.append(value)

    def run(step):
        kind, x = step[0], values[step[1]]
        out = seal.Ciphertext()
        if kind == "add":
            evaluator.add(x, values[step[2]], out)
        elif kind == "sub":
            evaluator.sub(x, values[step[2]], out)
        elif kind == "mul":
            evaluator.multiply(x, values[step[2]], out)
            evaluator.relinearize_inplace(out, relin)
        elif kind == "mul_plain":
            evaluator.multiply_plain(x, step[2], out)
        elif kind == "rescale":
            evaluator.rescale_to_next(x, out)
        elif kind == "rotate":
            evaluator.rotate_vector(x, step[2], galois, out)
        elif kind == "conjugate":
            evaluator.complex_conjugate(x, galois, out)
        else:
            raise ValueError(f"no step {kind}")
        return out

    seconds = {}
    for step in job["circuit"]:
        if step[0] == "mul_plain":
            plain = encode(job["inputs"][step[2]], values[step[1]].parms_id())
            step = [step[0], step[1], plain]
        for _ in range(repeat):
            start = time.perf_counter()
            out = run(step)
            taken = time.perf_counter() - start
            seconds[step[0]] = min(taken, seconds.get(step[0], taken))
        values.append(out)

    def decrypt(value):
        plain = seal.Plaintext()
        decryptor.decrypt(value, plain)
        return list(encoder.decode_double(plain))

    json.dump({"values": [decrypt(value) for value in values], "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
