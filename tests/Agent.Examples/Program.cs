using Agent.Client;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;

// sg-controller POLICY.json SOCKET...: keeps agents at what a file says, until it is interrupted.
PolicyStream[] hosts = [.. args[1..].Select(socket => PolicyStream.Open(
    new AgentAddress.Unix(socket),
    new PolicyStreamOptions { Controller = "file", OnState = state => Console.WriteLine($"{socket}: {state}") }))];
DateTimeOffset seen = default;
while (true)
{
    DateTimeOffset written = File.GetLastWriteTimeUtc(args[0]);
    if (written > seen)
    {
        seen = written;
        try
        {
            Snapshot policy = Snapshot.Parser.ParseJson(File.ReadAllText(args[0]));
            (policy.Revision, policy.IssuedAt) =
                ((ulong)written.ToUnixTimeMilliseconds(), Timestamp.FromDateTimeOffset(written));
            DesiredState desired = DesiredState.Of(policy);
            Array.ForEach(hosts, host => host.Want(desired));
        }
        catch (Exception e) when (e is InvalidPolicyException or IOException)
        {
            Console.WriteLine($"{args[0]}: {e.Message}"); // every fault; the agents keep what they have
        }
    }

    await Task.Delay(200);
}
