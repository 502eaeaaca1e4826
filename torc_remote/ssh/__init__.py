"""How hosts are reached: options of ssh, the frame around a script, files by sftp, what ssh's errors mean."""
